package source

import "fmt"

// Problem says why a source tree cannot be built.
type Problem struct {
	Code     string // "E201"
	Message  string
	Evidence []string
	Hints    []string
}

func (p *Problem) Error() string           { return p.Message }
func (p *Problem) FaultCode() string       { return p.Code }
func (p *Problem) FaultEvidence() []string { return p.Evidence }
func (p *Problem) FaultHints() []string    { return p.Hints }

// The codes of problems. They are stable: pages and scripts may refer to them.
const (
	CodeUnknown      = "E201" // no language that is known
	CodeNoProcess    = "E202" // nothing says what to start
	CodeProcfile     = "E203" // Procfile is malformed
	CodeManifest     = "E204" // app.json is malformed
	CodeFile         = "E205" // a file is too large or no text
	CodeReserved     = "E206" // the tree uses a name that is berth's
	CodeShadow       = "E207" // a module hides the package it imports
	CodeBuildpacks   = "E209" // .buildpacks names what is not known or cannot be had
	CodeEmpty        = "E210" // the repository is empty
	CodeVersion      = "E211" // a version file is malformed
	CodeNoVersion    = "E212" // a version cannot be had
	CodeMirror       = "E213" // an archive of the operator's mirror is gone, or is not what its checksum says
	CodeBuilder      = "E214" // a builder is asked for that there is not
	CodeRequirements = "E221" // requirements.txt cannot be followed
	CodeProject      = "E222" // a language's manifest (pyproject.toml, go.mod, Cargo.toml, ...) is malformed or unsupported
	CodePackages     = "E223" // apt-packages is malformed
	CodeStatic       = "E224" // Staticfile or static.json is malformed
	CodeToolchain    = "E231" // building the toolchain failed
	CodeInstall      = "E232" // installing the dependencies failed
	CodeApt          = "E233" // installing the packages of apt-packages failed
	CodeDockerfile   = "E235" // the Dockerfile is missing or malformed, or its build failed
	CodeOutput       = "E234" // the app's own build failed
)

// Problemf makes a problem of a code and a sentence.
func Problemf(code, format string, args ...any) *Problem {
	return &Problem{Code: code, Message: fmt.Sprintf(format, args...)}
}

// With adds lines of evidence.
func (p *Problem) With(lines ...string) *Problem {
	p.Evidence = append(p.Evidence, lines...)
	return p
}

// Hint adds what to do about it.
func (p *Problem) Hint(format string, args ...any) *Problem {
	p.Hints = append(p.Hints, fmt.Sprintf(format, args...))
	return p
}
