package images

import (
	"errors"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/moby/buildkit/solver/errdefs"
	"github.com/moby/buildkit/solver/pb"
)

// A configuration comes from whoever has made the image.
func FuzzImageConfig(f *testing.F) {
	f.Add([]byte(`{"config":{"Cmd":["a"],"WorkingDir":"/srv","User":"0:0","Volumes":{"/data":{}},"ExposedPorts":{"80/tcp":{}}}}`))
	f.Add([]byte(`{"config":{"WorkingDir":"../../etc","Volumes":{"/usr/../etc/x":{},"":{},"/":{}}}}`))
	f.Add([]byte(`{"config":{"Volumes":{"..00":{}}}}`)) // a name like any other
	f.Fuzz(func(t *testing.T, data []byte) {
		config, err := parseConfig(data)
		if err != nil {
			return
		}
		if !path.IsAbs(config.Dir) || !slices.IsSorted(config.Ports) || !slices.IsSorted(config.Volumes) {
			t.Errorf("%+v", config)
		}
		config.Args()
		for _, was := range []uint32{0, 1000} {
			for _, dir := range writtenDirs(config, was) {
				if dir == "." || dir == "etc" || strings.HasPrefix(dir, "etc/") || path.IsAbs(dir) || path.Clean(dir) != dir || dir == ".." || strings.HasPrefix(dir, "../") {
					t.Errorf("%q would be given away", dir)
				}
			}
		}
	})
}

// A message quotes the Dockerfile, and a line number is the parser's word.
func FuzzDockerfileError(f *testing.F) {
	f.Add("dockerfile parse error on line 2: unknown instruction: RUM", "FROM x\nRUM\n", int32(2))
	f.Add("failed to compute cache key: failed to calculate checksum of ref a::b: \"/x\": not found", "", int32(-1))
	f.Fuzz(func(t *testing.T, message, file string, line int32) {
		source := &errdefs.Source{Info: &pb.SourceInfo{Data: []byte(file)}, Ranges: []*pb.Range{{Start: &pb.Position{Line: line}}}}
		err := dockerfileError(BuildSpec{Dockerfile: "Dockerfile"}, errdefs.WithSource(errors.New(message), source))
		failed, ok := errors.AsType[*DockerfileError](err)
		if !ok {
			if int(line) > 0 && int(line) <= strings.Count(file, "\n")+1 {
				t.Errorf("line %d of %q is lost: %v", line, file, err)
			}
			return
		}
		if failed.Line != 0 && !strings.Contains(file, failed.Text) {
			t.Errorf("line %q is not in %q", failed.Text, file)
		}
	})
}
