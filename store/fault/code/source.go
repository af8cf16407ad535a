package code

// The source: what a repository says about how it is built.
const (
	SourceUnknown       = "E201"
	ProcessMissing      = "E202"
	ProcfileInvalid     = "E203"
	ManifestInvalid     = "E204"
	FileInvalid         = "E205"
	NameReserved        = "E206"
	ModuleShadowed      = "E207"
	BuildDirMissing     = "E208"
	BuildpackInvalid    = "E209"
	RepositoryEmpty     = "E210"
	VersionInvalid      = "E211"
	VersionUnavailable  = "E212"
	MirrorChanged       = "E213"
	BuilderUnknown      = "E214"
	RequirementsInvalid = "E221"
	ProjectInvalid      = "E222"
	AptPackagesInvalid  = "E223"
	StaticInvalid       = "E224"
)

var source = []Entry{
	{SourceUnknown, "berth cannot detect how to build the source.",
		"berth looks for the typical files of each language: package.json, requirements.txt, go.mod, pom.xml, " +
			"Gemfile, composer.json, Cargo.toml, index.html, a Dockerfile and others. None of them is in the root " +
			"of the source. If the app is in a directory, set it with `berth builder:set APP build-dir DIR`. " +
			"Otherwise add the file of your language, or a Dockerfile, and push again."},
	{ProcessMissing, "berth found no process to start.",
		"The language was detected, but neither a Procfile nor the source says which command answers " +
			"requests; an image may lack CMD and ENTRYPOINT. The evidence lists where berth looked. Write a file " +
			"named Procfile with a line such as `web: ./server`, commit it and push again."},
	{ProcfileInvalid, "The Procfile is malformed.",
		"Each line is a process type, a colon and a command on that same line. The message names the line: a " +
			"colon or a command is missing, a type appears twice, or a merge conflict was committed. Correct that " +
			"line and push again."},
	{ManifestInvalid, "app.json is malformed.",
		"The file is not valid JSON, or a field has an invalid type or value. The message shows where. " +
			"Comments and trailing commas are allowed. Correct it and push again; `berth builds:plan ./` on the " +
			"machine checks it without a push."},
	{FileInvalid, "A file of the repository cannot be read.",
		"berth reads this file to plan the build, and it is too large, is not UTF-8 text, or is not what its " +
			"name says. A common cause is Git LFS, which leaves a pointer in place of a file. Commit the file " +
			"itself, saved as UTF-8, and push again."},
	{NameReserved, "The repository uses a name that is reserved for berth.",
		"berth puts what it installs for the app under .berth, so the repository cannot have an entry of that " +
			"name. Usually it was copied out of a container and committed by mistake. Remove it with `git rm -r " +
			"--cached .berth`, commit and push again."},
	{ModuleShadowed, "A module has the name of a package that it imports.",
		"Python looks in the app's own directory first. A file such as flask.py is found instead of the " +
			"package flask, and the app cannot start. Rename the file with `git mv flask.py app.py`, adapt the " +
			"imports and push again."},
	{BuildDirMissing, "The commit does not have the build-dir directory.",
		"The app is built from a directory of its repository that this commit does not have. The evidence " +
			"lists the existing directories. Set another with `berth builder:set APP build-dir DIR`. Without a " +
			"value, `berth builder:set APP build-dir` builds the whole repository."},
	{BuildpackInvalid, ".buildpacks names a buildpack that is not available.",
		"A buildpack is the name of a language that berth supports, an https address, or a directory of the " +
			"repository with bin/detect and bin/compile. The line is none of these, or there are too many lines. " +
			"Correct the file, or remove it to let berth detect the language, and push again."},
	{RepositoryEmpty, "The repository is empty.",
		"The pushed commit contains no files, so there is nothing to build. Usually the files were never " +
			"added. Run `git add -A`, commit and push again."},
	{VersionInvalid, "A file names a version that is not valid.",
		"The version of a language or tool has an unknown form, or two files contradict each other. The " +
			"message names the file. The hint shows how a version is written. Correct it and push again."},
	{VersionUnavailable, "A version is not available.",
		"None of berth's sources has this version of the language or tool: Debian, the language's registry, " +
			"the operator's mirror, or upstream. The message or the hint lists the available versions. Ask for " +
			"one of these, or for a range. An operator can add an archive to the mirror; `berth builder:mirror` " +
			"lists the archives."},
	{MirrorChanged, "An archive of the mirror is missing or has changed.",
		"The operator's mirror has an archive that does not match its checksum, was changed while the build " +
			"was planned, or was removed. An operator has to copy it again and correct the checksum beside it. " +
			"`berth builder:mirror` lists the archives. Then push the same commit again."},
	{BuilderUnknown, "The builder does not exist.",
		"A file of the repository names a builder that berth does not have. The message names the file. The " +
			"hint lists the builders. Correct the name, or remove it to let berth detect the language, and push " +
			"again."},
	{RequirementsInvalid, "requirements.txt is not valid.",
		"A line is not valid here: a path outside the repository, a file that does not exist, or files that " +
			"include each other too often. The message names the file and the line. Correct it, check it with " +
			"`pip install -r requirements.txt` in a fresh clone, and push again."},
	{ProjectInvalid, "The manifest of the language is malformed.",
		"The file that describes the project, for example pyproject.toml, package.json, go.mod, pom.xml or " +
			"Cargo.toml, or the lock file beside it, has a syntax error or needs something that berth does not " +
			"support. The message names the file and the place. Correct it, check it with the language's own " +
			"tool, and push again."},
	{AptPackagesInvalid, "The file apt-packages is malformed.",
		"It lists the names of Debian packages, one or more on a line. URLs, versions and other package " +
			"sources are not accepted. The message names the line. Names are those of Debian 13; `apt-cache " +
			"search` finds them."},
	{StaticInvalid, "Staticfile or static.json is malformed.",
		"These files say how a static site is served. A line or field cannot be read, or the folder it names " +
			"is not in the repository. A folder that has to be built first needs a builder as well. Correct the " +
			"file and push again."},
}
