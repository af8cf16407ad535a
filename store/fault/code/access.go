package code

// Access: keys, roles, sessions and the SSH door.
const (
	KeyUnknown        = "E108"
	KeyExists         = "E109"
	RoleTooLow        = "E110"
	AppForbidden      = "E111"
	SocketForbidden   = "E131"
	SocketNotRoot     = "E146"
	LinkInvalid       = "E147"
	SignInRequired    = "E148"
	KeyInvalid        = "E156"
	KeyNameTaken      = "E157"
	KeyLastAdmin      = "E158"
	SSHKeyUnknown     = "E170"
	SSHUserUnknown    = "E171"
	SSHKeyMissing     = "E172"
	SSHCommandInvalid = "E173"
	SessionUnnamed    = "E413"
	SessionUnknown    = "E414"
)

var access = []Entry{
	{KeyUnknown, "No such SSH key.",
		"No key has this name or fingerprint. It was never added, it was removed, or its name is misspelt. " +
			"`berth ssh-keys:list` shows the keys with their names and fingerprints."},
	{KeyExists, "This SSH key already exists under another name.",
		"A public key stands for one user, so it cannot have two names. Nothing was changed. To change what " +
			"the key may do, use the name in the message: `berth ssh-keys:add NAME --role ROLE <KEY.pub`. To " +
			"rename it, remove it first with `berth ssh-keys:remove NAME`."},
	{RoleTooLow, "Your role does not allow this.",
		"A key has one of three roles: read can look, deploy can change its apps, admin can do everything. " +
			"The message names your role and the role that is needed. An administrator can give you the role: " +
			"`berth ssh-keys:add NAME --role deploy <KEY.pub`."},
	{AppForbidden, "You have no access to this app.",
		"Your key is bound to some apps. This is not one of them, or the command concerns all apps. `berth " +
			"apps:list` shows the apps that you have access to. An administrator can add this one: `berth " +
			"ssh-keys:add NAME --app APP <KEY.pub`."},
	{SocketForbidden, "Only root may use berth on this machine.",
		"The command uses a socket that only root may open. Run it with sudo. Or use your SSH key, also on " +
			"the machine itself: `ssh berth@HOST COMMAND`."},
	{SocketNotRoot, "Only root may use this socket.",
		"A program that does not run as root connected to berth's socket, so berth refused the request. Other " +
			"users have access by SSH key, each with a role. Run the command with sudo, or use SSH: `ssh " +
			"berth@HOST COMMAND`."},
	{LinkInvalid, "The link to sign in is not valid.",
		"A link works once, for 10 minutes. It was already used, it is older, or the key that it was made for " +
			"has been removed. Make a new one with `ssh berth@HOST login` and open it at once. Some chat programs " +
			"open links by themselves and use them up."},
	{SignInRequired, "You are not signed in.",
		"The page or the API needs a session. There is none, it has expired, or somebody ended it. Run `ssh " +
			"berth@HOST login` and open the link that it prints."},
	{KeyInvalid, "The key, its name or its role is not valid.",
		"berth accepts public keys as in OpenSSH's files that end in .pub. RSA keys have at least 2048 bits. " +
			"A name has letters, digits and . _ @ + -, and at most 64 characters; root is reserved. The roles are " +
			"admin, deploy and read, and an admin cannot be bound to apps. `ssh-keygen -t ed25519` makes a " +
			"suitable key."},
	{KeyNameTaken, "Another SSH key has this name.",
		"A name belongs to one key. The evidence shows that key's fingerprint. Choose another name, or give " +
			"none to use the key's comment as its name. `berth ssh-keys:remove NAME` removes the other key."},
	{KeyLastAdmin, "This is the last administrator's key.",
		"Without it nobody but root on the machine could change keys and settings. So it is not removed and " +
			"keeps its role. Add another administrator first: `berth ssh-keys:add NAME --role admin <KEY.pub`. " +
			"`berth ssh-keys:remove NAME --force` removes it anyway."},
	{SSHKeyUnknown, "berth does not know this SSH key.",
		"None of the keys that your client offered has been added. The message lists their fingerprints. A " +
			"user with access has to add your public key: `berth ssh-keys:add NAME <id_ed25519.pub`. If you have " +
			"several keys, choose one with `ssh -i FILE`."},
	{SSHUserUnknown, "This is not the SSH user of berth.",
		"Everybody uses the SSH user berth; the key identifies the person. Your client used another name, " +
			"usually that of your account. Write the user in front of the host: `ssh berth@HOST`. The address for " +
			"git is `berth@HOST:APP`."},
	{SSHKeyMissing, "Your SSH client offered no key.",
		"berth authenticates users by SSH key, not by password. Your client has no key, or does not find it. " +
			"Make one with `ssh-keygen -t ed25519`, or name the file with `ssh -i FILE`, and ask an administrator " +
			"to add the public half."},
	{SSHCommandInvalid, "The command that came over SSH cannot be read.",
		"ssh sends a command as one line, and berth splits it as a shell would. The line has a quote that is " +
			"never closed, ends in a backslash, or contains a NUL byte. Your own shell removes one layer of " +
			"quotes, so quote twice: `ssh berth@HOST \"config:set APP NAME='two words'\"`."},
	{SessionUnnamed, "No session and no user was named.",
		"`berth sessions:end` needs the id of one session, or a user with --user, and not both. Nothing was " +
			"ended. `berth sessions:list` shows the ids and the users."},
	{SessionUnknown, "No session has this id.",
		"It has ended or expired, or the id is misspelt. Nothing was ended. `berth sessions:list` lists " +
			"the open ones."},
}
