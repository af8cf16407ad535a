package router

import "testing"

func TestCanonicalHost(t *testing.T) {
	for authority, want := range map[string]string{
		"shop.example.com": "shop.example.com", "Shop.Example.COM:8443": "shop.example.com", "shop.example.com.": "shop.example.com",
		"shop.example.com.:80": "shop.example.com", "127.0.0.1:80": "127.0.0.1", "[::1]:80": "::1", "[2001:DB8::1]": "2001:db8::1",
		"::1": "::1", "": "", "[": "", ":80": "",
	} {
		if got := canonicalHost(authority); got != want {
			t.Errorf("canonicalHost(%q) is %q, want %q", authority, got, want)
		}
	}
}
