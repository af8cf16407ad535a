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
	{KeyUnknown, "There is no such SSH key.",
		"No key has this name or fingerprint. It was never added, it was removed, or its name is misspelt. " +
			"`berth ssh-keys:list` shows the keys with their names and fingerprints."},
	{KeyExists, "This SSH key is here already, under another name.",
		"A public key stands for one user, so it cannot have two names. Nothing was changed. To change what " +
			"the key may do, use the name that the message has: `berth ssh-keys:add NAME --role ROLE <KEY.pub`. " +
			"To give it another name, remove it first with `berth ssh-keys:remove NAME`."},
	{RoleTooLow, "Your role does not allow this.",
		"A key has one of three roles: read sees, deploy changes its apps, admin does everything. The message " +
			"names the role that you have and the one that is needed. An administrator can give you the role: " +
			"`berth ssh-keys:add NAME --role deploy <KEY.pub`."},
	{AppForbidden, "You have no access to this app.",
		"Your key is bound to some apps, and this is not one of them, or it is something that concerns all " +
			"apps. `berth apps:list` shows the apps that you have access to. An administrator can add this one: " +
			"`berth ssh-keys:add NAME --app APP <KEY.pub`."},
	{SocketForbidden, "Only root may speak to berth on this machine.",
		"The command asks berth through a socket that root alone may open. Run it with sudo. Or use your SSH " +
			"key, also on the machine itself: `ssh berth@HOST COMMAND`."},
	{SocketNotRoot, "Only root may use this socket.",
		"A program reached berth's socket, but it does not run as root, so berth refused what it asked. " +
			"Access for others is by SSH key, where each user has a role. Run the command with sudo, or ask over " +
			"SSH: `ssh berth@HOST COMMAND`."},
	{LinkInvalid, "The link to sign in is not valid.",
		"A link works once and for 10 minutes. It was used already, it is older than that, or the key it was " +
			"made for has been removed. Make a new one with `ssh berth@HOST login` and open it at once. Some chat " +
			"programs open links by themselves and use them up."},
	{SignInRequired, "You are not signed in.",
		"The page or the API needs a session. There is none, or it has expired, or somebody ended it. Run " +
			"`ssh berth@HOST login` and open the link that it prints."},
	{KeyInvalid, "The key, its name or its role cannot be taken.",
		"berth takes public keys as OpenSSH writes them into files that end in .pub. RSA keys have at least " +
			"2048 bits. A name has letters, digits and . _ @ + -, and at most 64 characters; root is the " +
			"machine's own. The roles are admin, deploy and read, and an admin cannot be bound to apps. " +
			"`ssh-keygen -t ed25519` makes a key that fits."},
	{KeyNameTaken, "Another SSH key has this name.",
		"A name stands for one key. The evidence has the fingerprint of the key that has it. Choose another " +
			"name, or give none, so that the key's comment becomes its name. `berth ssh-keys:remove NAME` removes " +
			"the other key."},
	{KeyLastAdmin, "This is the last key of an administrator.",
		"Without it nobody could change keys and settings over SSH; only root on the machine itself could. So " +
			"it is not removed and keeps its role. Add another administrator first: " +
			"`berth ssh-keys:add NAME --role admin <KEY.pub`. `berth ssh-keys:remove NAME --force` removes it all " +
			"the same."},
	{SSHKeyUnknown, "berth does not know this SSH key.",
		"Your client offered its keys, and none of them has been added. The message lists their fingerprints. " +
			"Somebody who may enter has to add your public key: `berth ssh-keys:add NAME <id_ed25519.pub`. If you " +
			"have several keys, choose one with `ssh -i FILE`."},
	{SSHUserUnknown, "This is not the SSH user of berth.",
		"Everybody enters as the user berth, and the key says who it is. Your client used another name, " +
			"mostly that of your account. Write the user in front of the host: `ssh berth@HOST`. The address for " +
			"git is `berth@HOST:APP`."},
	{SSHKeyMissing, "Your SSH client offered no key.",
		"berth lets users in by SSH key and has no passwords. Your client has no key, or does not find it. " +
			"Make one with `ssh-keygen -t ed25519`, or name the file with `ssh -i FILE`, and let an administrator " +
			"add the public half."},
	{SSHCommandInvalid, "The command that came over SSH cannot be read.",
		"ssh sends a command as one line, and berth takes it apart as a shell would. The line has a quote " +
			"that is never closed, ends in a backslash, or holds a NUL byte. Your own shell takes off one layer " +
			"of quotes, so quote twice: `ssh berth@HOST \"config:set APP NAME='two words'\"`."},
	{SessionUnnamed, "Neither a session nor a user is named.",
		"`berth sessions:end` needs the id of one session, or a user with --user, and not both. Nothing was " +
			"ended. `berth sessions:list` shows the ids and the users."},
	{SessionUnknown, "There is no session of this id.",
		"It has ended or expired, or the id is misspelt. Nothing was ended. `berth sessions:list` shows who " +
			"is in."},
}
