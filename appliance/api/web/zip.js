/* Zip archives without compression (PKWARE APPNOTE 6.3.3). */

const CRC = Uint32Array.from({ length: 256 }, (_, n) => {
  for (let bit = 0; bit < 8; bit++) n = n & 1 ? (n >>> 1) ^ 0xedb88320 : n >>> 1;
  return n;
});
const crc32 = (bytes) => ~bytes.reduce((crc, byte) => (crc >>> 8) ^ CRC[(crc ^ byte) & 255], -1) >>> 0;

/* Returns numbers as little-endian bytes; each is given as [number of bytes, value]. */
function packed(...numbers) {
  return Uint8Array.from(numbers.flatMap(([size, value]) => Array.from({ length: size }, (_, i) => (value >>> (8 * i)) & 255)));
}

/* Returns frames.zip with the given pictures, with the given names, or named 1.jpg, 2.jpg … (or .png) in their order. */
export async function zip(files, names = []) {
  const body = [], directory = [];
  let offset = 0;
  for (const [index, file] of files.entries()) {
    const bytes = new Uint8Array(await file.arrayBuffer());
    const name = new TextEncoder().encode(names[index] ?? `${index + 1}.${bytes[0] === 0x89 ? "png" : "jpg"}`);
    const [crc, size] = [[4, crc32(bytes)], [4, bytes.length]];
    const common = packed([2, 20], [2, 0x800], [2, 0], [2, 0], [2, 33], crc, size, size, [2, name.length], [2, 0]); // names in UTF-8, stored, 1 January 1980
    const entry = [packed([4, 0x04034b50]), common, name, bytes];
    directory.push(packed([4, 0x02014b50], [2, 20]), common, packed([2, 0], [2, 0], [2, 0], [4, 0], [4, offset]), name);
    offset += entry.reduce((sum, part) => sum + part.length, 0);
    body.push(...entry);
  }
  const size = directory.reduce((sum, part) => sum + part.length, 0);
  const tail = packed([4, 0x06054b50], [4, 0], [2, files.length], [2, files.length], [4, size], [4, offset], [2, 0]);
  return new File([...body, ...directory, tail], "frames.zip", { type: "application/zip" });
}
