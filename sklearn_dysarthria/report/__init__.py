"""Compare models patient by patient, and put the result on paper."""

from sklearn_dysarthria._utils.lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "_compare": ["METHODS", "build_methods", "compare"],
        "_comparison": ["Comparison"],
        "_metrics": ["METRICS", "PatientMetrics", "chance_level"],
    },
)
