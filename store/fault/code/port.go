package code

// Ports: TCP ports of the machine that lead to an app.
const (
	PortInvalid     = "E166"
	PortTaken       = "E167"
	PortUnavailable = "E168"
	PortsFull       = "E169"
	PortUnknown     = "E185"
	PortForbidden   = "E198"
)

var ports = []Entry{
	{PortInvalid, "This is not a valid port mapping.",
		"A port is written as tcp:OUTSIDE:INSIDE or tls:OUTSIDE:INSIDE, for example tcp:5432:5432. Both " +
			"numbers are from 1 to 65535. HTTP and HTTPS need no mapping. Write it so and run it again: `berth " +
			"ports:add APP tcp:5432:5432`."},
	{PortTaken, "The port is already in use.",
		"A port of the machine is mapped once. This one was added to another app, or to this app with another " +
			"port inside. Nothing was changed. `berth ports:report` lists the ports, and `berth ports:remove APP " +
			"PORT` frees one."},
	{PortUnavailable, "The port cannot be opened on this machine.",
		"berth itself listens on it, another program does, or the system refuses it. Nothing was changed. `ss " +
			"-ltnp` shows which program has it. Stop that program, or choose another port."},
	{PortsFull, "The maximum number of ports is reached.",
		"An app has at most 32 TCP ports, and all apps of a machine have at most 256. The port was not added. " +
			"`berth ports:report` lists them, and `berth ports:remove APP PORT` closes one that is not used."},
	{PortUnknown, "The app has no such port.",
		"The port was never added to this app, was removed, or is mapped to another port inside. It has to be " +
			"written as it was added. `berth ports:report APP` lists the ports in that form."},
	{PortForbidden, "Your key may not open ports of the machine.",
		"The ports of a machine are limited, and its operator is responsible for them. So a key that is bound " +
			"to apps cannot open any, not even for its own apps. An administrator can: `berth ports:add APP " +
			"PORT`."},
}
