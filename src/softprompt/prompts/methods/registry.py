"""What a method is: a function, from whose signature and docstring settings, checks and help are made."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, wraps
from inspect import Signature
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from pydantic import ConfigDict, TypeAdapter, ValidationError

from softprompt.config import MethodSettings, explain_all
from softprompt.errors import ConfigError, Problem, PromptError, SoftpromptError
from softprompt.prompts.methods.signatures import Option, is_plain, options_of, settings_of, signature_of
from softprompt.prompts.methods.training_defaults import TrainingDefaults, fitting
from softprompt.registry import Registry, check_function

if TYPE_CHECKING:
    from softprompt.files import HeadCard
    from softprompt.prompts.observable import Observable
    from softprompt.prompts.prompt import Prompt

_Arguments = ParamSpec("_Arguments")
_Made = TypeVar("_Made", bound="Prompt")

FROM_RUN = ("backbone", "examples", "head", "seed")
"""Arguments that a run gives to every method that names them; no settings."""


@dataclass(frozen=True)
class Method:
    """A method, as the decorator `method` made it. Calling it checks the arguments and builds the prompt.

    Args:
        name: in settings and prompt files.
        function: as it was written, without checks.
        signature: of the function, with types that are no longer texts.
        options: what the function leaves to its caller, by name.
        settings: what a recipe may say of it: bounds, defaults and texts are the function's.
        given: further arguments that only a run or Python gives.
        training: how it is trained by default, a variant each.
    """

    name: str
    function: Callable[..., "Prompt"]
    signature: Signature
    options: Mapping[str, Option]
    settings: type[MethodSettings]
    given: Collection[str]
    training: Sequence[TrainingDefaults] = ()

    def training_defaults(self, settings: MethodSettings, has_head: bool = False) -> TrainingDefaults:
        """How it is trained with these settings where a recipe does not say.

        Args:
            settings: of the method.
            has_head: whether the task has a trained head.
        """
        return fitting(self.training, settings, has_head)

    @property
    def shows_examples(self) -> bool:
        """Whether examples stand before every text, with settings for how many and how long together."""
        return {"examples", "max_tokens"} <= self.settings.model_fields.keys()

    def __call__(self, *args: Any, **options: Any) -> "Prompt":
        """The prompt.

        Raises:
            PromptError: arguments that cannot be, a line each; or what the method finds wrong.
        """
        bound = self.signature.bind(*args, **options)
        bound.arguments.update(self._checked(bound.arguments))
        return self.unchecked(*bound.args, **bound.kwargs)

    def unchecked(self, *args: Any, **options: Any) -> "Prompt":
        """The prompt, from options that were checked as settings."""
        import torch  # which a table of methods does without

        from softprompt.prompts.origin import Origin
        from softprompt.prompts.plain import plain_tensors
        from softprompt.prompts.prompt import Prompt

        with plain_tensors(), METHODS.naming(self.name):
            prompt = self.function(*args, **options)
        if not isinstance(prompt, Prompt):
            raise PromptError(self.name, type(prompt).__name__, "a method that returns a softprompt.Prompt")
        for name, parameter in prompt.named_parameters():
            if parameter.dtype != torch.float32:
                got = f"{name} in {str(parameter.dtype).removeprefix('torch.')}"
                do = "leave the conversion to the backbone, which takes vectors in its own precision"
                raise PromptError(f"method '{self.name}'", got, "parameters in float32", do)
        package = METHODS.package(self.name)
        if package is not None:  # so that the prompt's file says what it was made with
            prompt.describe(versions={**prompt.card.versions, package.name: package.version})
        prompt.origin = Origin(args[0] if args else options.get("backbone"))
        return prompt.describe(method=self.name)

    def _checked(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """The options among arguments, as their types read them."""
        checked: dict[str, Any] = {}
        problems: list[Problem] = []
        for name, value in arguments.items():
            option = self.options.get(name)
            if option is None or not (option.whole or is_plain(value)):
                continue
            try:
                checked[name] = self._checks[name].validate_python(value)
            except ValidationError as error:
                items = [{**item, "loc": (name, *item["loc"])} for item in error.errors()]
                problems += [self._named(problem, option) for problem in explain_all(items, self.settings)]
        if problems:
            raise PromptError.several(problems)
        return checked

    def _named(self, problem: Problem, option: Option) -> Problem:
        of_option = "." not in problem.where  # a problem of one member of a list has a dot
        expected = f"{problem.expected}, or None" if of_option and option.may_be_none else problem.expected
        return Problem(f"{self.name}.{problem.where}", problem.got, expected, problem.hint)

    @cached_property
    def _checks(self) -> dict[str, TypeAdapter[Any]]:
        finite = ConfigDict(allow_inf_nan=False)
        return {name: TypeAdapter(option.kind, config=finite) for name, option in self.options.items()}


METHODS: Registry[Method] = Registry("method", "method.name", "softprompt.methods", PromptError)
"""Every method by the name that settings and prompt files use."""


def method(
    name: str,
    *,
    recipe: Mapping[str, Any] = MappingProxyType({}),
    given: Collection[str] = (),
    training: TrainingDefaults | Sequence[TrainingDefaults] = (),
) -> Callable[[Callable[_Arguments, _Made]], Callable[_Arguments, _Made]]:
    """Make a function a method: recipes know it by its name, and its arguments are checked.

    The function takes a `backbone` first. Of a run it gets `head`, `seed`, `examples` (token ids, for a start
    such as `examples:4`) and `template` (the task's own, where the recipe says none), as far as it names
    them. Every other argument is a setting: its type with `Annotated` bounds is the check, its default the
    recipe's default, and its text under `Args` the description.

    Args:
        name: in settings and prompt files: letters, digits and `_`.
        recipe: where recipes differ from Python, by the setting's name: another default, or a pair of a type
            and a default (or `pydantic.Field`), also of settings that only recipes have.
        given: further arguments that no recipe can say.
        training: how it is trained where a recipe gives no learning rate; for several variants the first
            whose settings fit. Without any the rate is 1e-2, and falls in a line.

    Raises:
        ConfigError: a name that is taken, or an argument whose type no recipe can hold.
    """

    METHODS.check_name(name)
    variants = (training,) if isinstance(training, TrainingDefaults) else training
    if not isinstance(variants, list | tuple) or not all(isinstance(v, TrainingDefaults) for v in variants):
        expected = "softprompt.TrainingDefaults, one or a list of them"
        raise ConfigError(f"method '{name}': training", repr(training), expected)

    def decorate(function: Callable[_Arguments, _Made]) -> Callable[_Arguments, _Made]:
        check_function(f"method '{name}'", function)
        signature = signature_of(function, name)
        options = options_of(function, name, signature, {*FROM_RUN, *given})
        settings = settings_of(name, options, recipe, function.__module__)
        made = Method(name, function, signature, options, settings, frozenset(given), tuple(variants))
        METHODS.add(name, made, function)

        @wraps(function)
        def checked(*args: _Arguments.args, **options: _Arguments.kwargs) -> _Made:
            return made(*args, **options)  # type: ignore[return-value]

        return checked

    return decorate


def build_prompt(
    backbone: "Observable",
    settings: MethodSettings,
    seed: int,
    examples: Sequence[Sequence[int]] | None = None,
    head: "HeadCard | None" = None,
    template: str | None = None,
) -> "Prompt":
    """The prompt that a run's settings ask for.

    Args:
        backbone: the frozen model.
        settings: of the method.
        seed: of every random number.
        examples: token ids, for methods that can begin from them.
        head: that the task needs.
        template: the task's own, for methods that need one and whose settings name none.

    Raises:
        PromptError: a method that needs a template, and none is there; or that takes no head.
    """
    made = METHODS[settings.name]
    takes = made.signature.parameters
    options = {name: getattr(settings, name) for name in type(settings).model_fields if name in takes}
    run = {"examples": examples, "head": head, "seed": seed}
    options |= {name: value for name, value in run.items() if name in takes}
    if head is not None and "head" not in takes:
        raise PromptError(
            "method.name", f"'{made.name}' for a task with a head", "a method whose function takes a head"
        )
    if "template" in takes and options.get("template") is None:
        if template is None and "template" not in made.given:
            raise PromptError(
                "method.template",
                f"no template for {made.name}",
                "a template",
                "give one, or choose a task that has one",
            )
        options["template"] = template
    try:
        prompt = made.unchecked(backbone, **options)
    except SoftpromptError as error:
        raise _of_settings(error, settings) from None
    if head is not None and prompt.head is None:
        raise PromptError(
            f"method '{made.name}'", "a prompt without the head", "a prompt with it",
            "pass head to softprompt.PromptBuilder",
        )  # fmt: skip
    return prompt


def _of_settings(error: SoftpromptError, settings: MethodSettings) -> SoftpromptError:
    """An error of a method's function, whose arguments are named as the settings that they are."""
    problems: list[Problem | SoftpromptError | str] = []
    for problem in error.problems:
        if isinstance(problem, Problem | SoftpromptError):
            owner, _, name = problem.where.partition(".")
            if owner in ("prompt", settings.name) and name in type(settings).model_fields:
                problem = Problem(f"method.{name}", problem.got, problem.expected, problem.hint)
        problems.append(problem)
    return type(error).several(problems)


def n_examples(settings: MethodSettings) -> int:
    """How many training examples a run draws: the setting `examples`, or k of the start `examples:k`.

    Args:
        settings: of the method.
    """
    # A method of another package may have settings of these names and of other types.
    count, start = (getattr(settings, name, None) for name in ("examples", "initialization"))
    if type(count) is int:
        return count
    kind, _, k = start.partition(":") if isinstance(start, str) else ("", "", "")
    return int(k) if kind == "examples" and k.strip().isdigit() else 0
