<?php
header('Content-Type: text/plain');
echo 'about, with ', extension_loaded('mbstring') ? 'mbstring' : 'no mbstring', "\n";
