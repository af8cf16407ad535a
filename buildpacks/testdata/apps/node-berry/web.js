const polka = require("polka");
polka().get("/", (req, res) => res.end("hello from berry\n")).listen(process.env.PORT);
