require("fs").mkdirSync("dist", {recursive: true});
require("fs").writeFileSync("dist/page.txt", "bundled by Node " + process.version + ", a day is " + require("ms")("1d"));
