import { Component } from "@angular/core";
import { bootstrapApplication } from "@angular/platform-browser";

@Component({
  selector: "app-root",
  template: "<p>hello from {{ name }}</p>",
})
class App {
  readonly name = "angular";
}

bootstrapApplication(App).catch((err) => console.error(err));
