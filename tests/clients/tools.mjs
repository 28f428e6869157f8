// The pinned packages, which tests/run installs outside the source tree's own folders.

import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';

const installed = new URL('../.tools/node/', import.meta.url);
const require = createRequire(installed);

/** A pinned package by name, or an error that says how to get it. */
export function tool(name) {
  try {
    return require(name);
  } catch (error) {
    const folder = fileURLToPath(installed);
    throw new Error(`${name} is not in ${folder}: run tests/run`, { cause: error });
  }
}

/** Where a file of a pinned package is. */
export function toolFile(name, file) {
  return fileURLToPath(new URL(`node_modules/${name}/${file}`, installed));
}
