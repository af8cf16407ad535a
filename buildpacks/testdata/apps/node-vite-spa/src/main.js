document.querySelector("#app").textContent = `hello from vite, ${import.meta.env.VITE_GREETING ?? "with no greeting"}`;
