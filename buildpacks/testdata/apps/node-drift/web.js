const ms = require("ms");
const polka = require("polka");
polka().get("/", (req, res) => res.end(`hello from drift after ${ms(60000)}\n`)).listen(process.env.PORT);
