<?php
require __DIR__ . '/lib/greeting.php';

header('Content-Type: text/plain');
if ($_SERVER['REQUEST_URI'] === '/log') {
    error_log('a line for the log');
}
echo greeting(), ' ', $_SERVER['REQUEST_URI'], ' by ', $_SERVER['HTTPS'] ?? 'http', "\n";
