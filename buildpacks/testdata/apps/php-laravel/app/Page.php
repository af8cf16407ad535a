<?php

namespace App;

use Illuminate\Application;

final class Page
{
    public static function show(): string
    {
        $root = dirname(__DIR__);
        $packages = require "$root/bootstrap/cache/packages.php";
        file_put_contents("$root/storage/logs/page.log", "shown\n", FILE_APPEND);
        return sprintf("key of %d bytes, packages %s, colors %s\n", strlen(Application::key()), $packages[0], \Colors::ALL);
    }
}
