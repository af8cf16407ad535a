const { test } = require("node:test");
test("express is there", () => require("express"));
