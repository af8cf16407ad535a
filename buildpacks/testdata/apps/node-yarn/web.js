const polka = require("polka");
polka().get("/", (req, res) => res.end("hello from yarn\n")).listen(process.env.PORT);
