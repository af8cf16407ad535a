<?php

namespace Acme\Greet;

final class Greeter
{
    public function greet(): string
    {
        return 'greetings';
    }
}
