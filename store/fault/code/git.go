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
	{TreeRefused, "The commit holds a file that berth does not unpack.",
		"A name or path is too long, a directory is called .git, the tree is nested deeper than 64 " +
			"directories, or it unpacks to more than 1 GiB or 100,000 files. The message names the file and the " +
			"reason. Take it out with `git rm --cached FILE`, amend the commit and push again."},
	{CommitUnknown, "The app's repository has no such commit.",
		"--ref takes a branch, a tag or a commit that was pushed to this app. The name is misspelt, or it is " +
			"only in your clone. `git ls-remote berth` lists the refs that the app has."},
	{PushSuperseded, "A newer push took the place of this one.",
		"Of the pushes that wait, the newest comes first. Yours waited while a later one, which the message " +
			"names, was deployed, and yours would have replaced it unseen. Look at what is live with " +
			"`berth releases APP`, merge it if need be, then push again."},
	{PushInterrupted, "berth is being restarted, and the push ended with it.",
		"The daemon stops, for an upgrade or by an operator, while your push was under way. What ran before " +
			"still runs. Push the same commit again in a moment; layers that were finished are used again."},
	{PushCancelled, "The build was cancelled.",
		"Somebody ran `berth builds:cancel`, or cancelled it on the admin page; the message names the user. " +
			"What ran before still runs. Push again to have it built."},
	{PushNothing, "The push would deploy nothing.",
		"An app is deployed from one branch, and this push has only others or tags. So it is refused, rather " +
			"than taken without effect. The hint shows how to deploy this branch once, or from now on: " +
			"`git push berth BRANCH:main`, or `berth git:set APP deploy-branch BRANCH`."},
	{PushTooManyRefs, "The push changes more refs than one push may.",
		"A push may change 2,000 refs. Mostly --all, --mirror or --tags sent more than was meant. No ref was " +
			"changed. Push the branch that is to be deployed alone: `git push berth main`."},
	{PushRefRefused, "git refuses a ref of this push.",
		"git does not accept the change of one of the refs, and so none was changed. A branch has moved " +
			"meanwhile, its name conflicts with another one (a and a/b), or it is not allowed. The reason stands " +
			"in the evidence or behind the ref. `git ls-remote berth` shows what is there."},
	{PushNoCommit, "A branch of this push would not be a commit.",
		"The object that you push to a branch is a file or a tree, or a tag of one. A branch can only name a " +
			"commit. Push a commit: `git push berth HEAD:main`."},
	{PushTooShallow, "The clone is too shallow to be pushed.",
		"A shallow clone ends at some commits, and berth has to remember each of them. Yours ends at more " +
			"than 2,000. `git fetch --unshallow` makes the clone whole; then push again."},
	{PushNoBranch, "A first push needs a branch.",
		"The app does not exist yet, and a push creates it from the branch that is pushed. This one has only " +
			"tags, or only deletes. Push a branch: `git push berth main`."},
	{BranchInvalid, "This cannot be the name of a branch.",
		"git does not allow the name: it has spaces, .. or control characters, or begins or ends in a way " +
			"that is reserved. Give it as `git branch` lists it, without refs/heads/. An example is " +
			"`berth git:set APP deploy-branch main`."},
	{BranchBusy, "The branch is being pushed.",
		"To change the deploy branch, berth has to lock the branch, and a push holds it right now. Nothing " +
			"was changed. Run `berth git:set APP deploy-branch BRANCH` again when the push has ended."},
	{GitPropertyUnknown, "git has no such property.",
		"`berth git:set` takes one property, deploy-branch: the branch from which the app is deployed. Write " +
			"it as `berth git:set APP deploy-branch main`. `berth git:report APP` shows its value."},
	{BranchChanged, "The deploy branch was changed meanwhile.",
		"While this operation ran, somebody gave the app another deploy branch, so its result would be of the " +
			"wrong one. Nothing was deployed. See which branch it is with `berth git:report APP`, then try again."},
	{PushNameTaken, "The app's name went to another app during the push.",
		"While your push was under way, the app was renamed or destroyed, and another app got its name. " +
			"Nothing was deployed to that one. `berth apps:list` shows which apps there are. Set the remote to " +
			"the name that yours has now (`git remote set-url berth berth@HOST:APP`), and push again."},
	{PushAppDestroyed, "The app was destroyed while the push waited.",
		"Somebody destroyed the app after your push had begun. Your commit was not built. Push again: that " +
			"creates the app anew, without its old config and domains."},
}
