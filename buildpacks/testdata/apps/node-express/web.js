const express = require("express");

const app = express();
app.get("/", (req, res) => res.send(`hello from express on node ${process.version.split(".")[0]}, ${process.env.NODE_ENV}\n`));
app.listen(process.env.PORT);
