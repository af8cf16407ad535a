package images_test

import (
	"strings"
	"testing"

	"github.com/berthd/berth/runtime"
	"github.com/berthd/berth/runtime/images"
)

func TestOwnImage_GivesWhatTheProgramWrites(t *testing.T) {
	e, _ := open(t)
	for name, test := range map[string]struct{ dockerfile, own, others string }{
		"root": {`FROM berth.local/stack
RUN mkdir -p /srv/app /var/lib/state && touch /srv/app/file /var/lib/state/db /usr/local/bin/tool && ln -s /etc/passwd /srv/app/link
WORKDIR /srv/app
VOLUME /data
`, "/app /srv/app /srv/app/file /srv/app/link /var/lib/state/db /var/log /run /data /root", "/ /etc/passwd /usr/local/bin/tool /var/lib/dpkg/status /srv /var"},
		"somebody": {`FROM berth.local/stack
RUN useradd --uid 999 --create-home somebody && install -d -o somebody /deep/inside && touch /deep/inside/roots /home/somebody/file && chown somebody /home/somebody/file
USER somebody
WORKDIR /usr/lib
`, "/app /deep/inside /home/somebody /home/somebody/file", "/deep /deep/inside/roots /usr/lib /var/log /root"},
	} {
		t.Run(name, func(t *testing.T) {
			img, out, err := buildImage(t, images.BuildSpec{Context: project(t, "Dockerfile", test.dockerfile), Owner: owner(t)})
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			k := key(t)
			for range 2 { // the second time it is there
				if err := images.New(e, logger()).Own(t.Context(), img, k, 20001, map[string]string{"app": "shop"}); err != nil {
					t.Fatal(err)
				}
			}
			spec := runtime.Spec{Layer: k, Foreign: true}
			if got, _ := output(t, spec, "stat -c '%u %g' "+test.own+" | sort -u"); got != "20001 20001" {
				got, _ = output(t, spec, "stat -c '%u %n' "+test.own)
				t.Errorf("not all is the user's:\n%s", got)
			}
			if got, _ := output(t, spec, "stat -c '%u' "+test.others+" | sort -u"); got != "0" {
				got, _ = output(t, spec, "stat -c '%u %n' "+test.others)
				t.Errorf("not all else is root's:\n%s", got)
			}
			again, err := images.New(e, logger()).Image(t.Context(), k)
			if err != nil || again.Digest != img.Digest || strings.Join(again.Config.Volumes, " ") != strings.Join(img.Config.Volumes, " ") {
				t.Errorf("the layer's image is %+v, %v", again, err)
			}
		})
	}
	nothingLeft(t)
}
