package python

import (
	"io/fs"
	"strings"
	"testing"

	"github.com/berthd/berth/buildpacks/packtest"
)

func TestBot_IsAWorker(t *testing.T) {
	for name, c := range map[string]struct {
		tree   fs.FS
		worker string
	}{
		"Discord":           {repo("bot.py", "import discord\nclient = discord.Client(intents=None)\nclient.run('x')\n", "requirements.txt", "discord.py"), "python bot.py"},
		"Discord, a class":  {repo("main.py", "from discord.ext import commands\nclass B(commands.Bot): pass\nif __name__ == '__main__':\n    B('!').run('x')\n"), "python main.py"},
		"Telegram":          {repo("main.py", "from telegram.ext import Application\nApplication.builder().token('x').build().run_polling()\n"), "python main.py"},
		"aiogram":           {repo("run.py", "import asyncio\nfrom aiogram import Dispatcher\nasync def main():\n    await Dispatcher().start_polling(None)\nasyncio.run(main())\n"), "python run.py"},
		"Slack, by socket":  {repo("app.py", "from slack_bolt import App\nfrom slack_bolt.adapter.socket_mode import SocketModeHandler\napp = App()\nif __name__ == '__main__':\n    SocketModeHandler(app, 'x').start()\n"), "python app.py"},
		"beside its parts":  {repo("setup.py", "import discord\nsetup().run()\n", "cogs/music.py", "import discord\nx.run()\n", "launch.py", "import discord\ndiscord.Client().run('x')\n"), "python launch.py"},
		"an odd name":       {repo("my-bot.py", "import discord\ndiscord.Client().run('x')\n"), "python my-bot.py"},
		"a bot with a page": {repo("bot.py", "import discord\nfrom flask import Flask\napp = Flask('x')\ndiscord.Client().run('x')\n"), ""},
	} {
		t.Run(name, func(t *testing.T) {
			made := detect(t, c.tree)
			if got := packtest.Command(made, "worker"); got != c.worker {
				t.Errorf("worker: got %q, want %q", got, c.worker)
			}
			if got := web(made); (got == "") != (c.worker != "") {
				t.Errorf("web: got %q", got)
			}
			if c.worker == "" {
				return
			}
			if notes := strings.Join(made.Notes, "\n"); !strings.Contains(notes, "is a bot: it runs as a worker") {
				t.Errorf("notes: %q", notes)
			}
		})
	}
}

// What is proposed has to be what would run.
func TestNoEntry_ProposesWhatWorks(t *testing.T) {
	const build = "[build-system]\nrequires = ['hatchling']\n"
	for name, c := range map[string]struct {
		tree fs.FS
		want string
		not  string
	}{
		"a script":                  {repo("helper.py", "x = 1\n", "job.py", "if __name__ == '__main__':\n    print(1)\n"), "the line: web: python job.py", "helper.py\n"},
		"a queue's worker":          {repo("consume.py", "import pika\npika.BlockingConnection()\n"), "the line: worker: python consume.py", "web: python"},
		"setup.py is no program":    {repo("setup.py", "from setuptools import setup\nsetup(name='x')\n"), "the line: web: COMMAND", "python setup.py"},
		"tests are no program":      {repo("test_x.py", "if __name__ == '__main__':\n    print(1)\n", "conftest.py", "1\n"), "the line: web: COMMAND", "python "},
		"programs of the project":   {repo("pyproject.toml", build+"[project]\nname = 'x'\nversion = '1'\n[project.scripts]\nshop = 'shop.cli:main'\n", "shop/cli.py", "def main(): pass\n"), "the line: web: shop", "python"},
		"a project not built":       {repo("pyproject.toml", "[project]\nname = 'x'\nversion = '1'\n[project.scripts]\nshop = 'shop.cli:main'\n", "shop/cli.py", "def main(): pass\n"), "the line: web: python -c 'from shop.cli import main; main()'", "web: shop"},
		"a list beside the project": {repo("requirements.txt", "requests", "pyproject.toml", build+"[project]\nname = 'x'\nversion = '1'\n[project.scripts]\nshop = 'shop.cli:main'\n", "shop/cli.py", "def main(): pass\n"), "the line: web: python -c 'from shop.cli import main; main()'", "web: shop"},
		"Poetry's":                  {repo("pyproject.toml", build+"[tool.poetry]\nname = 'x'\n[tool.poetry.dependencies]\npython = '^3.11'\nrequests = '*'\n[tool.poetry.scripts]\nshop = 'shop.cli:main'\n", "shop/cli.py", "def main(): pass\n"), "the line: web: shop", "python -c"},
		"console_scripts":           {repo("setup.py", "from setuptools import setup\nsetup(entry_points={'console_scripts': ['shop = shop.cli:main']})\n", "shop/cli.py", "def main(): pass\n"), "the line: web: shop", "python"},
		"console_scripts of a .cfg": {repo("setup.py", "from setuptools import setup\nsetup()\n", "setup.cfg", "[options.entry_points]\nconsole_scripts =\n    shop = shop.cli:main\n", "shop/cli.py", "def main(): pass\n"), "the line: web: shop", "python"},
		"a hostile name":            {repo("pyproject.toml", build+"[project]\nname = 'x'\nversion = '1'\n[project.scripts]\n\"a; rm -rf /\" = 'shop.cli:main'\nb = 'os:system(1)'\n", "shop/cli.py", "def main(): pass\n"), "web: python shop/cli.py", "rm -rf"},
	} {
		t.Run(name, func(t *testing.T) {
			p, _ := problemOf(t, c.tree)
			text := strings.Join(p.Hints, "\n") + "\n"
			if p.Code != "E202" || !strings.Contains(text, c.want+"\n") || c.not != "" && strings.Contains(text, c.not) {
				t.Errorf("got %s %q, want %q in it and no %q", p.Code, text, c.want, c.not)
			}
		})
	}
}
