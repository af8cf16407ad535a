require("fs").writeFileSync("app/assets/builds/bundled.css", "/* Node " + process.version + " */ body { color: teal }\n");
