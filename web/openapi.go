package web

import (
	"encoding/json"
	"net/http"
	"path"
	"reflect"
	"strings"
	"time"

	"github.com/berthd/berth/client"
	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
	"github.com/berthd/berth/verbs"
)

// openAPI is where the API describes itself, beside the verbs.
const openAPI = "openapi.json"

// object is one of JSON, whose keys encoding/json sorts.
type object = map[string]any

// OpenAPI describes the API (OpenAPI 3.1): the table of verbs, each with its
// arguments, its result and who may. The same table makes the same text.
func OpenAPI(version string) ([]byte, error) {
	s := &schemas{named: object{}, types: map[string]reflect.Type{}}
	failure := object{"description": "A fault", "content": object{"application/json": object{"schema": object{
		"type": "object", "properties": object{"error": s.of(reflect.TypeFor[fault.Error]())}, "required": []string{"error"},
	}}}}
	paths := object{}
	for _, v := range verbs.All() {
		paths["/"+v.Name] = s.operations(v)
	}
	return json.MarshalIndent(object{
		"openapi": "3.1.0",
		"info": object{
			"title": "berth", "version": version,
			"description": "Every verb is POST /api/v1/VERB with its arguments as a JSON object; those that change nothing are GET with query parameters too. " +
				"With Accept: " + client.Stream + " the answer is a line of JSON for each thing as it happens: " +
				`{"out": TEXT} for progress, {"item": ...} for each item of a verb that streams, and last {"result": ...} or {"error": ...}.`,
		},
		"servers":    []object{{"url": strings.TrimSuffix(client.Path, "/")}},
		"paths":      paths,
		"components": object{"schemas": s.named, "responses": object{"fault": failure}},
	}, "", " ")
}

func (s *schemas) operations(v verbs.Verb) object {
	operation := func(id string) object {
		o := object{
			"operationId": id, "summary": v.Short, "tags": []string{v.Topic}, "x-berth-role": v.Role.Least,
			"responses": object{"200": s.answer(v), "default": object{"$ref": "#/components/responses/fault"}},
		}
		if v.Long != "" {
			o["description"] = v.Long
		}
		if v.Role.Also != "" {
			o["x-berth-role-also"] = v.Role.Also
		}
		return o
	}
	get, post := operation(v.Name+":get"), operation(v.Name)
	post["requestBody"] = object{"content": object{"application/json": object{"schema": s.of(v.Args)}}}
	switch {
	case v.Attached:
		get["operationId"], get["x-websocket"] = v.Name, true
		get["responses"] = object{"101": object{"description": "A WebSocket; the first message is the arguments"}}
		s.of(v.Args)
		return object{"get": get}
	case !v.Reads:
		return object{"post": post}
	}
	var parameters []object
	for _, f := range jsonFields(v.Args) {
		parameters = append(parameters, object{"name": f.name, "in": "query", "required": f.required, "schema": s.of(f.Type)})
	}
	if parameters != nil {
		get["parameters"] = parameters
	}
	return object{"get": get, "post": post}
}

func (s *schemas) answer(v verbs.Verb) object {
	schema := s.of(v.Result)
	if v.Streams {
		schema = object{"type": "array", "items": schema}
	}
	return object{"description": "The result", "content": object{
		"application/json": object{"schema": schema},
		client.Stream:      object{"schema": object{"type": "string"}},
	}}
}

// schemas are those of the types that have a name.
type schemas struct {
	named object
	types map[string]reflect.Type
}

// of returns the schema of what encoding/json makes of a type.
func (s *schemas) of(t reflect.Type) object {
	switch {
	case t == reflect.TypeFor[time.Time]():
		return object{"type": "string", "format": "date-time"}
	case t.Kind() == reflect.Pointer:
		return s.of(t.Elem())
	case t.Implements(reflect.TypeFor[json.Marshaler]()):
		return object{}
	}
	switch t.Kind() {
	case reflect.Bool:
		return object{"type": "boolean"}
	case reflect.String:
		return object{"type": "string"}
	case reflect.Float32, reflect.Float64:
		return object{"type": "number"}
	case reflect.Slice, reflect.Array:
		if t.Elem().Kind() == reflect.Uint8 {
			return object{"type": "string", "contentEncoding": "base64"}
		}
		return object{"type": "array", "items": s.of(t.Elem())}
	case reflect.Map:
		return object{"type": "object", "additionalProperties": s.of(t.Elem())}
	case reflect.Struct:
		return s.structure(t)
	case reflect.Interface:
		return object{}
	}
	return object{"type": "integer"}
}

func (s *schemas) structure(t reflect.Type) object {
	if t.Name() == "" {
		return s.fields(t)
	}
	name := t.Name()
	if other := s.types[name]; other != nil && other != t {
		name = path.Base(t.PkgPath()) + "." + name
	}
	if s.types[name] == nil {
		s.types[name] = t
		s.named[name] = s.fields(t)
	}
	return object{"$ref": "#/components/schemas/" + name}
}

func (s *schemas) fields(t reflect.Type) object {
	properties, required := object{}, []string{}
	for _, f := range jsonFields(t) {
		properties[f.name] = s.of(f.Type)
		if f.required {
			properties[f.name] = orNull(f.Type, s.of(f.Type))
			required = append(required, f.name)
		}
	}
	schema := object{"type": "object", "properties": properties}
	if len(required) > 0 {
		schema["required"] = required
	}
	return schema
}

// orNull is the schema of a field that is always there: what there is none of is null.
func orNull(t reflect.Type, schema object) object {
	switch {
	case t.Kind() == reflect.Pointer:
		return object{"anyOf": []object{schema, {"type": "null"}}}
	case (t.Kind() == reflect.Slice || t.Kind() == reflect.Map) && schema["type"] != nil:
		schema["type"] = []any{schema["type"], "null"}
	}
	return schema
}

// jsonField is a field as encoding/json writes it.
type jsonField struct {
	reflect.StructField
	name     string
	required bool // always there
}

func jsonFields(t reflect.Type) (fields []jsonField) {
	for _, f := range reflect.VisibleFields(t) {
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.Anonymous && name == "" || !f.IsExported() || name == "-" {
			continue
		}
		if name == "" {
			name = f.Name
		}
		fields = append(fields, jsonField{f, name, !strings.Contains(options, "omit")})
	}
	return fields
}

// serveOpenAPI describes the API to whoever may ask it.
func (a *api) serveOpenAPI(w http.ResponseWriter, user store.User) {
	text, err := OpenAPI(a.version)
	if err != nil {
		answerError(w, a.Fault(err, openAPI, user))
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Write(text)
}
