const polka = require("polka");
polka().get("/", (req, res) => res.end("hello from pnpm\n")).listen(process.env.PORT);
