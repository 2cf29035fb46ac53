// @vladmandic/human on its WASM backend (SIMD, one thread), with the models of its package: detector, mesh and iris, and the
// description of 1,024 numbers that it compares faces by. Each step is timed as what it adds to a run without it, so there are
// three runs; "all" is the last one alone.
'use strict';

const fs = require('node:fs');
const path = require('node:path');
const readline = require('node:readline');
const { fileURLToPath, pathToFileURL } = require('node:url');

const MOST_FACES = 50; // as everyone else here

const packages = path.join(process.cwd(), 'node_modules');

// Node's own fetch does not read files
globalThis.fetch = async (url) => new Response(fs.readFileSync(fileURLToPath(String(url))), {
  headers: { 'Content-Type': String(url).endsWith('.json') ? 'application/json' : 'application/octet-stream' },
});

// standard output is for answers: what libraries print goes elsewhere
console.log = console.info = console.error;

const say = (message) => process.stdout.write(`${JSON.stringify(message)}\n`);

const config = {
  backend: 'wasm',
  modelBasePath: `${pathToFileURL(path.join(packages, '@vladmandic/human/models'))}/`,
  wasmPath: path.join(packages, '@tensorflow/tfjs-backend-wasm/dist/'),
  debug: false,
  async: false,
  cacheSensitivity: 0,
  filter: { enabled: false },
  gesture: { enabled: false },
  body: { enabled: false },
  hand: { enabled: false },
  object: { enabled: false },
  segmentation: { enabled: false },
  face: {
    enabled: true,
    detector: { maxDetected: MOST_FACES, skipFrames: 0, skipTime: 0 },
    mesh: { enabled: true },
    iris: { enabled: true, skipFrames: 0, skipTime: 0 },
    description: { enabled: true, skipFrames: 0, skipTime: 0 },
    emotion: { enabled: false },
    antispoof: { enabled: false },
    liveness: { enabled: false },
  },
};

const without = (...parts) => ({ face: Object.fromEntries(parts.map((part) => [part, { enabled: false }])) });
const whole = { face: Object.fromEntries(['mesh', 'iris', 'description'].map((part) => [part, { enabled: true }])) };

function processor() {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

async function timed(human, pixels, changes) {
  const begun = processor();
  const result = await human.detect(pixels, changes);
  if (result.error) throw new Error(result.error);
  return [processor() - begun, result.face.length];
}

async function look(human, pixels) {
  const [detect] = await timed(human, pixels, without('mesh', 'iris', 'description'));
  const [placed] = await timed(human, pixels, { face: { ...whole.face, ...without('description').face } });
  const [all, faces] = await timed(human, pixels, whole);
  return [faces, { detect, align: Math.max(0, placed - detect), embed: Math.max(0, all - placed), all }];
}

async function answer(human, question) {
  const bytes = fs.readFileSync(question.file);
  const pixels = human.tf.tensor4d(Int32Array.from(bytes), [1, question.height, question.width, 3], 'int32');
  const milliseconds = [];
  let faces = 0;
  for (let times = 0; times < question.times; times += 1) {
    const [found, taken] = await look(human, pixels);
    faces = found;
    milliseconds.push(taken);
  }
  pixels.dispose();
  return { faces, milliseconds };
}

async function main() {
  const { Human } = require(path.join(packages, '@vladmandic/human/dist/human.node-wasm.js'));
  const human = new Human(config);
  await human.init();
  await human.load();
  if (human.tf.getBackend() !== 'wasm') throw new Error(`the backend is ${human.tf.getBackend()}, not wasm`);
  say({ name: `human ${human.version}, Node ${process.versions.node}, WASM` });
  for await (const line of readline.createInterface({ input: process.stdin })) say(await answer(human, JSON.parse(line)));
}

main().catch((error) => {
  console.error(String(error.message));
  process.exit(1);
});
