package web

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestSession_CookieIsLocked(t *testing.T) {
	w := httptest.NewRecorder()
	SetCookie(w, "token")
	c := w.Result().Cookies()[0]
	if c.Name != "__Host-berth" || !c.Secure || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "/" || c.Domain != "" || c.MaxAge != 30*24*3600 {
		t.Errorf("got %v", c)
	}
}
