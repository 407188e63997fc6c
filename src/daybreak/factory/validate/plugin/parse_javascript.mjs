// Parses JavaScript files without running any: `node --experimental-vm-modules parse_javascript.mjs TREE`, paths on
// standard input, one a line. JSON on standard output: `[{"path", "line", "message"}, ...]`, what neither a script nor
// a module can be.
import { lstatSync, readFileSync } from "node:fs";
import { join } from "node:path";
import vm from "node:vm";

const tree = process.argv[2];
const faults = [];

function line(path, ...errors) {
  for (const error of errors) {
    const stack = String(error.stack);
    const found = stack.startsWith(`${path}:`) ? /:(\d+)/.exec(stack.slice(path.length)) : null;
    if (found) return Number(found[1]);
  }
  return 0;
}

for (const path of readFileSync(0, "utf8").split("\n")) {
  if (!path || lstatSync(join(tree, path)).isSymbolicLink()) continue;
  const source = readFileSync(join(tree, path), "utf8").replace(/^#!.*/, "");
  try {
    new vm.SourceTextModule(source, { identifier: path });
  } catch (asModule) {
    try {
      // What CommonJS puts around a file, so that `return` at the top and `require` are fine.
      new vm.Script(`(function (exports, require, module) {${source}\n})`, { filename: path });
    } catch (asScript) {
      faults.push({ path, line: line(path, asModule, asScript), message: String(asModule.message) });
    }
  }
}
process.stdout.write(JSON.stringify(faults));
