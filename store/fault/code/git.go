package code

// Git: the deploy branch, and what a push may bring.
const (
	DeployBranchDeleted = "E174"
	TreeRefused         = "E175"
	CommitUnknown       = "E177"
	PushSuperseded      = "E401"
	PushInterrupted     = "E402"
	PushCancelled       = "E403"
	PushNothing         = "E404"
	PushTooManyRefs     = "E405"
	PushRefRefused      = "E406"
	PushNoCommit        = "E407"
	PushTooShallow      = "E408"
	PushNoBranch        = "E409"
	BranchInvalid       = "E410"
	BranchBusy          = "E411"
	GitPropertyUnknown  = "E412"
	BranchChanged       = "E415"
	PushNameTaken       = "E416"
	PushAppDestroyed    = "E422"
)

var git = []Entry{
	{DeployBranchDeleted, "The deploy branch cannot be deleted.",
		"The app is deployed from this branch, and the push would delete it. No ref was changed. Choose " +
			"another branch first with `berth git:set APP deploy-branch BRANCH`. To remove the app itself, run " +
			"`berth apps:destroy APP`."},
	{TreeRefused, "The commit contains a file that berth does not unpack.",
		"A name or path is too long, a directory is called .git, the tree is nested deeper than 64 " +
			"directories, or it unpacks to more than 1 GiB or 100,000 files. The message names the file and the " +
			"reason. Remove it with `git rm --cached FILE`, amend the commit and push again."},
	{CommitUnknown, "The app's repository has no such commit.",
		"--ref takes a branch, a tag or a commit that was pushed to this app. The name is misspelt, or the " +
			"commit is only in your clone. `git ls-remote berth` lists the refs that the app has."},
	{PushSuperseded, "A newer push took the place of this one.",
		"Of several waiting pushes, the newest runs first. Yours waited while a later one, which the message " +
			"names, was deployed; yours would have replaced it unnoticed. Check what is live with `berth releases " +
			"APP`, merge it if needed, then push again."},
	{PushInterrupted, "berth is being restarted, and the push ended with it.",
		"The daemon was stopped, for an upgrade or by an operator, during your push. What ran before still " +
			"runs. Push the same commit again in a moment; finished layers are reused."},
	{PushCancelled, "The build was cancelled.",
		"Somebody ran `berth builds:cancel`, or cancelled it on the admin page; the message names the user. " +
			"What ran before still runs. Push again to build it."},
	{PushNothing, "The push would deploy nothing.",
		"An app is deployed from one branch, and this push has only others or tags. It is refused, because it " +
			"would have no effect. The hint shows how to deploy this branch once, or from now on: `git push berth " +
			"BRANCH:main`, or `berth git:set APP deploy-branch BRANCH`."},
	{PushTooManyRefs, "The push changes more refs than one push may.",
		"A push may change 2,000 refs. Usually --all, --mirror or --tags sent more than intended. No ref was " +
			"changed. Push only the branch to deploy: `git push berth main`."},
	{PushRefRefused, "git rejects a ref of this push.",
		"git does not accept the change of one of the refs, and so none was changed. A branch has moved " +
			"meanwhile, its name conflicts with another one (a and a/b), or it is not allowed. The reason is in " +
			"the evidence or behind the ref. `git ls-remote berth` shows the current refs."},
	{PushNoCommit, "A branch of this push does not point to a commit.",
		"The object that you push to a branch is a file or a tree, or a tag of one. A branch can only name a " +
			"commit. Push a commit: `git push berth HEAD:main`."},
	{PushTooShallow, "The clone is too shallow to be pushed.",
		"A shallow clone ends at some commits, and berth has to record each of them. Yours ends at more than " +
			"2,000. Run `git fetch --unshallow`, then push again."},
	{PushNoBranch, "A first push needs a branch.",
		"The app does not exist yet, and a push creates it from the branch that is pushed. This one has only " +
			"tags, or only deletes. Push a branch: `git push berth main`."},
	{BranchInvalid, "This is not a valid branch name.",
		"git does not allow the name: it has spaces, .. or control characters, or a reserved beginning or " +
			"end. Write it as `git branch` lists it, without refs/heads/. An example is `berth git:set APP " +
			"deploy-branch main`."},
	{BranchBusy, "The branch is being pushed.",
		"To change the deploy branch, berth has to lock the branch, and a push holds it right now. Nothing " +
			"was changed. Run `berth git:set APP deploy-branch BRANCH` again when the push has ended."},
	{GitPropertyUnknown, "git has no such property.",
		"`berth git:set` takes one property, deploy-branch: the branch from which the app is deployed. Write " +
			"it as `berth git:set APP deploy-branch main`. `berth git:report APP` shows its value."},
	{BranchChanged, "The deploy branch was changed in the meantime.",
		"While this operation ran, somebody changed the app's deploy branch, so the result would be from the " +
			"wrong branch. Nothing was deployed. Check the branch with `berth git:report APP`, then try again."},
	{PushNameTaken, "The app's name went to another app during the push.",
		"During your push, the app was renamed or destroyed, and another app got its name. Nothing was " +
			"deployed to that one. `berth apps:list` shows which apps there are. Set the remote to the new name " +
			"of your app (`git remote set-url berth berth@HOST:APP`), and push again."},
	{PushAppDestroyed, "The app was destroyed while the push waited.",
		"Somebody destroyed the app after your push had begun. Your commit was not built. Push again: that " +
			"creates the app again, without its old config and domains."},
}
