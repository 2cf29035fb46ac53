/* The linter's rules for all JavaScript of the project. */

import js from "@eslint/js";
import globals from "globals";

export default [
  { ignores: ["**/build/", "**/dist/", "**/.*/"] },
  js.configs.recommended,
  {
    linterOptions: { reportUnusedDisableDirectives: "error" },
    rules: {
      eqeqeq: ["error", "always", { null: "ignore" }],
      "no-implicit-coercion": "error",
      "no-shadow": "error",
      "no-unused-expressions": "error",
      "no-use-before-define": ["error", { functions: false, variables: false }],
      "no-useless-return": "error",
      "no-var": "error",
      "object-shorthand": "error",
      "prefer-const": "error",
      "prefer-template": "error",
    },
  },
  { files: ["appliance/api/web/*.js"], languageOptions: { globals: globals.browser } },
  { files: ["scripts/**/*.cjs"], languageOptions: { globals: globals.node } },
  { files: ["examples/*.mjs", "tests/web/*.mjs"], languageOptions: { globals: globals.nodeBuiltin } },
];
