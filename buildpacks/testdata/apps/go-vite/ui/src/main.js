document.querySelector("#app").textContent = "the board";
