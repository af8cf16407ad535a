const fs = require("fs");
const colors = fs.readFileSync("assets/colors.txt", "utf8").trim().split("\n");
fs.writeFileSync("static/app.css", colors.map((color) => `.${color} { color: ${color} }`).join("\n") + "\n");
