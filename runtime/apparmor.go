package runtime

import (
	"errors"
	"os"
	"strings"

	profiles "github.com/containerd/containerd/v2/contrib/apparmor"
	"github.com/containerd/containerd/v2/pkg/apparmor"
)

// appArmorProfile is the name under which containerd's default profile is
// loaded. It is ours, since another program may load another under containerd's.
const appArmorProfile = "berth-default"

// appArmor is what AppArmor does for containers here.
type appArmor struct {
	profile string // of each container; "" where there is none
	missing error  // why there is none although the kernel confines programs
}

// loadAppArmor loads the profile where the kernel has AppArmor switched on.
func loadAppArmor() appArmor {
	enabled, _ := os.ReadFile("/sys/module/apparmor/parameters/enabled") // not there on other kernels
	return confineBy(string(enabled), apparmor.HostSupports, profiles.LoadDefaultProfile)
}

// confineBy decides. supported also asks for the program that loads profiles.
func confineBy(enabled string, supported func() bool, load func(string) error) appArmor {
	if !strings.HasPrefix(enabled, "Y") {
		return appArmor{}
	}
	if !supported() {
		return appArmor{missing: errors.New("apparmor_parser is missing, or berth runs in a container itself")}
	}
	if err := load(appArmorProfile); err != nil {
		return appArmor{missing: err}
	}
	return appArmor{profile: appArmorProfile}
}
