const http = require("node:http");
http.createServer((req, res) => res.end("hello from server.js\n")).listen(process.env.PORT, process.env.HOST);
