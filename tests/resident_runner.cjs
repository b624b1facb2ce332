// The workflow runner for many runs: Node.js and the runner's libraries start once. It keeps nothing between two runs,
// and each is asked for by a line of JSON with its files and variables, and answered by a line with what it printed.
const fs = require("node:fs");
const readline = require("node:readline");
const vm = require("node:vm");

const [, , runner] = process.argv;
const names = ["require", "process", "console"];
const run = vm.compileFunction(fs.readFileSync(runner, "utf8"), names, { filename: runner });

class End extends Error {}

readline.createInterface({ input: process.stdin }).on("line", (line) => {
  const { files, variables } = JSON.parse(line);
  const answer = { output: "", errors: "" };
  const own = {
    argv: { value: [process.argv[0], runner, ...files] },
    env: { value: variables },
    exit: { value: () => { throw new End(); } },
  };
  try {
    run(require, Object.create(process, own), { log: (text) => { answer.output += text; } });
  } catch (error) {
    if (!(error instanceof End)) answer.errors = error.stack;
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
});
