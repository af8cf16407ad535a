package access

import "testing"

func TestRegister_EndsWhatIsChosenOnce(t *testing.T) {
	var r Register
	ended := map[string]int{}
	enter := func(user string) func() {
		return r.Enter(Connection{User: user}, func() { ended[user]++ })
	}
	enter("alice")
	enter("alice")
	leave := enter("bob")
	enter("carol")()
	if open := r.Open(); len(open) != 3 || open[0].User != "alice" || open[2].User != "bob" || open[0].ID == open[1].ID {
		t.Errorf("open: %+v", open)
	}
	all := func(Connection) bool { return true }
	if n := r.End(func(c Connection) bool { return c.User == "alice" }); n != 2 || ended["alice"] != 2 {
		t.Errorf("ended %d, %v; want alice's two", n, ended)
	}
	if n := r.End(all); n != 1 || ended["bob"] != 1 || ended["alice"] != 2 || ended["carol"] != 0 {
		t.Errorf("ended %d, %v; want bob's, and carol has left", n, ended)
	}
	leave()
	if len(r.Open()) != 0 || r.End(all) != 0 {
		t.Errorf("open: %+v", r.Open())
	}
}
