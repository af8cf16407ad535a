package org.example.hello;

import io.micronaut.http.MediaType;
import io.micronaut.http.annotation.Controller;
import io.micronaut.http.annotation.Get;
import io.micronaut.http.annotation.Produces;

@Controller("/")
public class HelloController {
    @Get
    @Produces(MediaType.TEXT_PLAIN)
    String hello() {
        return "hello from Micronaut";
    }
}
