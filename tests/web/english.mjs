/* The pages' texts in English, for the tests of the functions that return them: imported before the module under test. */

import { readFileSync } from "node:fs";

import { speak } from "../../appliance/api/web/texts.js";

export const catalogue = (code) => JSON.parse(readFileSync(new URL(`../../appliance/api/web/texts/${code}.json`, import.meta.url)));

speak("en", catalogue("en"), ["en-GB"]);
