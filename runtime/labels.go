package runtime

// The labels of everything of ours in containerd.
const (
	LabelInstallation = "berth.installation"
	labelKind         = "berth.kind" // kindApp, kindRun
	labelUID          = "berth.uid"
	labelStop         = "berth.stop"    // the signal to stop with
	labelKey          = "berth.key"     // of a layer
	labelBuilder      = "berth.builder" // of a layer: LayerSpec.Builder
	labelUsed         = "berth.used"    // of a layer: when something last stood on it
	labelUser         = "berth.user/"
	labelRoot         = "containerd.io/gc.root"
)
