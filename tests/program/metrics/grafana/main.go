// Checks a dashboard by the types that are generated from Grafana's schema: exits 1, and says why, when
// a field is unknown, missing or wrong.
package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/cog/plugins"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
)

func main() {
	plugins.RegisterDefaultPlugins()
	if err := check(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func check(path string) error {
	raw, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var board dashboard.Dashboard
	err = board.UnmarshalJSONStrict(raw)
	// No complaints are a list without any, which is not a nil error.
	if complaints, ok := err.(cog.BuildErrors); ok && len(complaints) == 0 {
		err = nil
	}
	return errors.Join(err, board.Validate())
}
