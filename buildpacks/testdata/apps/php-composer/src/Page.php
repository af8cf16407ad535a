<?php

namespace Acme\Site;

use Acme\Greet\Greeter;

final class Page
{
    public function show(string $path): string
    {
        return (new Greeter())->greet() . " from $path with " . (function_exists('bzcompress') ? 'bz2' : 'no bz2') . "\n";
    }
}
