package main

import (
	"strconv"
	"strings"
)

// parseFormation reads web=2 worker=1.
func parseFormation(words []string) (map[string]int, error) {
	formation := map[string]int{}
	for _, word := range words {
		name, count, ok := strings.Cut(word, "=")
		n, err := strconv.Atoi(count)
		switch _, twice := formation[name]; {
		case !ok || name == "":
			return nil, usage("%.60q is not TYPE=N", word).Hint("write it as web=2")
		case err != nil || n < 0:
			return nil, usage("%.60q is not a number of instances", count).Hint("0 stops the type, 2 runs two instances")
		case twice:
			return nil, usage("%.60q is given twice", name)
		}
		formation[name] = n
	}
	return formation, nil
}

// parseNumber reads the number of a release (v18 or 18) or of a build.
func parseNumber(word string) (int, error) {
	n, err := strconv.Atoi(strings.TrimPrefix(word, "v"))
	if err != nil || n < 1 {
		return 0, usage("%.60q is not a release or build number", word).Hint("write it as v18 or 18")
	}
	return n, nil
}

// parseCount reads the number that a flag was given.
func parseCount(flag, word string, least int) (int, error) {
	n, err := strconv.Atoi(word)
	if err != nil || n < least {
		return 0, usage("%s is %.60q, and has to be a number from %d", flag, word, least)
	}
	return n, nil
}

// parseConfig reads NAME=VALUE words. What a value is, is never part of an error.
func parseConfig(words []string) (map[string]string, error) {
	config := map[string]string{}
	for i, word := range words {
		name, value, ok := strings.Cut(word, "=")
		if !ok || name == "" {
			return nil, usage("argument %d is not NAME=VALUE", i+1).Hint("a value with spaces needs quotes: NAME='two words'")
		}
		if _, twice := config[name]; twice {
			return nil, usage("%.60q is given twice", name)
		}
		config[name] = value
	}
	return config, nil
}
