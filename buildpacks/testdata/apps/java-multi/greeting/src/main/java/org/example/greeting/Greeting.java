package org.example.greeting;

public class Greeting {
    public static String text() {
        return "hello from two modules";
    }
}
