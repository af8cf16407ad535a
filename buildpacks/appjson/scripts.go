package appjson

import (
	"strings"

	"github.com/berthd/berth/buildpacks/source"
)

// Scripts are the commands that app.json wants run around a release, "" for
// none. Each is run by bash -c in /app.
type Scripts struct {
	// Predeploy runs in the built image before the release; what it changes
	// below /app is part of the release. It is Dokku's scripts.dokku.predeploy.
	Predeploy string
	// Postdeploy runs after each deploy: Dokku's scripts.dokku.postdeploy.
	Postdeploy string
	// FirstPostdeploy runs after the app's first deploy alone: what Heroku and
	// Dokku call scripts.postdeploy.
	FirstPostdeploy string
}

// Test is how app.json wants the app tested: environments.test, the place where
// Heroku CI looks.
type Test struct {
	Setup   string // scripts.test-setup: run before Command, and where it is run
	Command string // scripts.test; "" leaves it to the language

	Env     map[string]string // of both; nil when the file gives tests none of their own
	Secrets []string          // variables whose values are made up for each run
}

// TestEnv returns the environment of tests and the names of the secrets to be
// made up for them. As on Heroku, what the test environment says of env takes
// the place of what the whole file says.
func (m Manifest) TestEnv() (env map[string]string, secrets []string) {
	if m.Test.Env != nil {
		return m.Test.Env, m.Test.Secrets
	}
	return m.Env, m.Secrets
}

// scripts reads the scripts of a release.
func (m *Manifest) scripts(v source.JSON) error {
	fields, err := v.Object(`"scripts": {"dokku": {"predeploy": "./prepare.sh"}}`)
	if err != nil {
		return err
	}
	general := "" // scripts.predeploy, which only some write, gives way to Dokku's
	for _, f := range fields {
		switch f.Name {
		case "postdeploy":
			m.Scripts.FirstPostdeploy, err = script(f.JSON)
		case "predeploy":
			general, err = script(f.JSON)
		case "dokku":
			err = m.dokkuScripts(f.JSON)
		}
		if err != nil {
			return err
		}
	}
	if m.Scripts.Predeploy == "" {
		m.Scripts.Predeploy = general
	}
	return nil
}

func (m *Manifest) dokkuScripts(v source.JSON) error {
	fields, err := v.Object(`"dokku": {"predeploy": "./prepare.sh"}`)
	if err != nil {
		return err
	}
	for _, f := range fields {
		switch f.Name {
		case "predeploy":
			m.Scripts.Predeploy, err = script(f.JSON)
		case "postdeploy":
			m.Scripts.Postdeploy, err = script(f.JSON)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// script reads a command; null and blanks are none.
func script(v source.JSON) (string, error) {
	if v.Null() {
		return "", nil
	}
	s, err := v.Text()
	return strings.TrimSpace(s), err
}

// environments reads what is said of tests, the one environment besides
// production that there is here.
func (m *Manifest) environments(v source.JSON) (notes []string, err error) {
	const want = `"environments": {"test": {"scripts": {"test": "pytest"}}}`
	all, err := v.Object(want)
	if err != nil {
		return nil, err
	}
	for _, f := range all {
		if f.Name != "test" {
			continue
		}
		if notes, err = m.test(f.JSON); err != nil {
			return nil, err
		}
	}
	return notes, nil
}

func (m *Manifest) test(v source.JSON) (notes []string, err error) {
	fields, err := v.Object(`"test": {"scripts": {"test": "pytest"}}`)
	if err != nil {
		return nil, err
	}
	for _, f := range fields {
		if f.Null() {
			continue
		}
		switch f.Name {
		case "scripts":
			err = m.testScripts(f.JSON)
		case "env":
			var own Manifest
			err = own.env(f.JSON)
			m.Test.Env, m.Test.Secrets = own.Env, own.Secrets
			for _, name := range own.Required {
				notes = append(notes, "app.json: environments.test.env gives "+name+" no value: tests run without it")
			}
		case "buildpacks":
			notes = append(notes, "app.json: environments.test.buildpacks is ignored: tests use those of the app")
		case "addons":
			notes = append(notes, "app.json: environments.test.addons is ignored: berth starts no services for tests")
		}
		if err != nil {
			return nil, err
		}
	}
	return notes, nil
}

func (m *Manifest) testScripts(v source.JSON) error {
	fields, err := v.Object(`"scripts": {"test": "pytest"}`)
	if err != nil {
		return err
	}
	for _, f := range fields {
		switch f.Name {
		case "test":
			m.Test.Command, err = script(f.JSON)
		case "test-setup":
			m.Test.Setup, err = script(f.JSON)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
