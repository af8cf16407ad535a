<?php

require __DIR__ . '/../vendor/autoload.php';

header('Content-Type: text/plain');
echo (new Acme\Site\Page())->show($_SERVER['REQUEST_URI']);
