<?php

namespace Illuminate;

final class Application
{
    /** As Laravel has it: an AES-256 key of 32 bytes behind "base64:". */
    public static function key(): string
    {
        $key = getenv('APP_KEY') ?: '';
        return str_starts_with($key, 'base64:') ? (string) base64_decode(substr($key, 7), true) : $key;
    }
}
