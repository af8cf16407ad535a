const features = require("cpu-features");
require("node:http").createServer((req, res) => res.end(`hello from an addon on ${features().arch}\n`)).listen(process.env.PORT);
