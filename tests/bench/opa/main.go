// Measures OPA in process: reads cases as JSON, and writes what each costs in nanoseconds. tests/bench/engines.py runs it.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"
	"github.com/open-policy-agent/opa/v1/storage/inmem"
)

// A case: one query, asked once for each parameters, or once for the review itself where there are none.
type benchCase struct {
	Name       string            `json:"name"`
	Query      string            `json:"query"`
	Modules    map[string]string `json:"modules"`
	Review     string            `json:"review"`
	Parameters []any             `json:"parameters"`
	Violations int               `json:"violations"`
	Data       map[string]any    `json:"data"`
}

const (
	samples = 15
	span    = 30 * time.Millisecond
)

func main() {
	var cases []benchCase
	check(json.NewDecoder(os.Stdin).Decode(&cases))
	for _, one := range cases {
		judge := prepare(one)
		for i := 0; i < 5; i++ {
			judge()
		}
		best := time.Duration(1 << 62)
		for i := 0; i < samples; i++ {
			rounds, start := 0, time.Now()
			for time.Since(start) < span {
				judge()
				rounds++
			}
			best = min(best, time.Since(start)/time.Duration(rounds))
		}
		check(json.NewEncoder(os.Stdout).Encode(map[string]any{"name": one.Name, "nanos": best.Nanoseconds()}))
	}
}

// What one review costs: its JSON is read, and the prepared query is asked, once for each parameters.
func prepare(one benchCase) func() {
	options := []func(*rego.Rego){rego.Query(one.Query), rego.SetRegoVersion(ast.RegoV0)}
	for name, text := range one.Modules {
		options = append(options, rego.Module(name, text))
	}
	if one.Data != nil {
		options = append(options, rego.Store(inmem.NewFromObject(one.Data)))
	}
	query, err := rego.New(options...).PrepareForEval(context.Background())
	check(err)
	inputs := make([]ast.Value, len(one.Parameters))
	for i, parameters := range one.Parameters {
		inputs[i] = ast.MustInterfaceToValue(parameters)
	}
	return func() {
		var review any
		check(json.Unmarshal([]byte(one.Review), &review))
		if len(inputs) == 0 {
			ask(query, rego.EvalInput(review), one)
			return
		}
		value, err := ast.InterfaceToValue(review.(map[string]any)["request"])
		check(err)
		found := 0
		for _, parameters := range inputs {
			input := ast.NewObject([2]*ast.Term{ast.StringTerm("review"), ast.NewTerm(value)}, [2]*ast.Term{ast.StringTerm("parameters"), ast.NewTerm(parameters)})
			found += ask(query, rego.EvalParsedInput(input), one)
		}
		if found != one.Violations {
			check(fmt.Errorf("%s: %d violations, not %d", one.Name, found, one.Violations))
		}
	}
}

func ask(query rego.PreparedEvalQuery, input rego.EvalOption, one benchCase) int {
	results, err := query.Eval(context.Background(), input)
	check(err)
	if len(results) != 1 {
		check(fmt.Errorf("%s: undefined", one.Name))
	}
	list, _ := results[0].Expressions[0].Value.([]any)
	return len(list)
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
