<?php

class Colors
{
    public const ALL = 'red, green';
}
